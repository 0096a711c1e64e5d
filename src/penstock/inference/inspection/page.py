"""A model's report as one HTML page: no script from elsewhere, no font, readable with a thousand layers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from penstock.inference.inspection.report import shape_text

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #767676; --accent: #2a6fb0; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
code, pre, td.mono { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { border: 1px solid var(--line); border-radius: 6px; padding: .7rem; overflow: auto; max-height: 24rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: Canvas; } td.number { text-align: right; white-space: nowrap; }
tr:target { outline: 2px solid var(--accent); } a { color: var(--accent); text-decoration: none; }
summary { cursor: pointer; color: var(--dim); } input { font: inherit; padding: .3rem .6rem; width: 20rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dt { color: var(--dim); } dd { margin: 0; }
.bar { background: var(--accent); height: 3px; }
"""
_SCRIPT = """
const box = document.getElementById('filter'), rows = [...document.querySelectorAll('#layers tbody tr')];
box.addEventListener('input', () => { const words = box.value.toLowerCase().split(/\\s+/);
  for (const row of rows) row.hidden = !words.every(word => row.dataset.text.includes(word)); });
"""


def render(report: Mapping[str, Any], title: str) -> str:
    """Return the page of a report that :func:`penstock.inference.inspection.report.inspect_folder` made."""
    parts = [f"<h1>{escape(title)}</h1>", _facts(report)]
    for part in ("inputs", "outputs"):
        if part in report:
            parts.append(f"<h2>{part.capitalize()}</h2>{_tensors(report[part])}")
    for key, heading in (("sample_request", "A request it answers"), ("preprocessing", "From a picture to the input")):
        if report.get(key):
            parts.append(
                f"<h2>{heading}</h2><pre>{escape(json.dumps(report[key], indent=2, ensure_ascii=False))}</pre>"
            )
    if report.get("labels"):
        names = " · ".join(f"{index} {escape(name)}" for index, name in enumerate(report["labels"]))
        parts.append(
            f"<h2>Labels</h2><details><summary>{len(report['labels'])} classes</summary><p>{names}</p></details>"
        )
    for key in ("metadata", "fields"):
        if report.get(key):
            parts.append(f"<h2>{key.capitalize()}</h2>{_pairs(report[key].items())}")
    if "mlmodel" in report:
        parts.append(
            f"<h2>MLmodel</h2><pre>{escape(json.dumps(report['mlmodel'], indent=2, ensure_ascii=False))}</pre>"
        )
    if "layers" in report:
        parts.append(_layers(report))
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def facts_of(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is said of the whole model, in pairs for people."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in report.get("opsets", {}).items())
    operators = ", ".join(f"{name} × {count}" for name, count in report.get("operators", {}).items())
    pairs = [
        ("file", report.get("file", "")),
        ("flavours", ", ".join(report.get("flavors", ()))),
        ("graph", report.get("name", "")),
        ("producer", report.get("producer", "")),
        ("opset", opsets),
        ("ir version", str(report.get("ir_version", ""))),
        ("size", _size(report["size"]) if "size" in report else ""),
        ("parameters", f"{report['parameters']:,}" if "parameters" in report else ""),
        ("weights", _weights_text(report)),
        ("layers", str(len(report["layers"])) if "layers" in report else ""),
        ("operators", operators),
        ("described as", report.get("doc", "")),
        ("problem", report.get("problem", "")),
    ]
    return [(name, value) for name, value in pairs if value]


def _weights_text(report: Mapping[str, Any]) -> str:
    if "weights_size" not in report:
        return ""
    where = ", some of them in files beside it" if report.get("has_external_weights") else ""
    return _size(report["weights_size"]) + where


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _facts(report: Mapping[str, Any]) -> str:
    return _pairs(facts_of(report))


def _pairs(pairs: Iterable[tuple[str, Any]]) -> str:
    rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"


def _tensors(tensors: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><td class="mono">{escape(str(t["name"]))}</td><td>{escape(str(t["dtype"]))}</td>'
        f'<td class="mono">{escape(shape_text(t.get("shape")))}</td></tr>'
        for t in tensors
    )
    return f"<table><thead><tr><th>name<th>dtype<th>shape</tr></thead><tbody>{rows}</tbody></table>"


def _layers(report: Mapping[str, Any]) -> str:
    layers = report["layers"]
    makers = {name: layer["index"] for layer in layers for name in layer["outputs"]}
    largest = max((layer["parameters"] for layer in layers), default=0) or 1
    rows = "".join(_layer(layer, makers, largest) for layer in layers)
    head = "".join(f"<th>{name}" for name in ("", "layer", "operator", "from", "out", "weights", "parameters", "size"))
    return (
        '<h2>Layers</h2><p><input id="filter" type="search" placeholder="Find: conv 3, 3 …" aria-label="Find a layer">'
        f'</p><table id="layers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><script>{_SCRIPT}</script>'
    )


def _layer(layer: Mapping[str, Any], makers: Mapping[str, int], largest: int) -> str:
    index, depth = layer["index"], layer.get("depth", 0)
    sources = " ".join(
        f'<a href="#l{makers[name]}">{escape(name)}</a>' if name in makers else escape(name) for name in layer["inputs"]
    )
    weights = "<br>".join(
        f"{escape(w['name'])} {escape(shape_text(w['shape']))} {w['dtype']}" for w in layer["weights"]
    )
    attributes = ", ".join(f"{key}={value}" for key, value in layer.get("attributes", {}).items())
    details = f"<details><summary>attributes</summary><code>{escape(attributes)}</code></details>" if attributes else ""
    out = escape(" ".join(layer["outputs"]))
    shape = f"<br>{escape(shape_text(layer['shape']))}" if "shape" in layer else ""
    bar = f'<div class="bar" style="width:{100 * layer["parameters"] / largest:.1f}%"></div>' if weights else ""
    text = escape(f"{layer['name']} {layer['operator']} {weights} {attributes}".lower(), quote=True)
    parameters, size = (f"{layer['parameters']:,}", _size(layer["size"])) if weights else ("", "")
    return (
        f'<tr id="l{index}" data-text="{text}"><td class="number">{index}</td>'
        f'<td class="mono" style="padding-left:{0.6 + depth}rem">{escape(layer["name"])}</td>'
        f"<td>{escape(layer['operator'])}{details}</td>"
        f'<td class="mono">{sources}</td><td class="mono">{out}{shape}</td><td class="mono">{weights}</td>'
        f'<td class="number">{parameters}{bar}</td><td class="number">{size}</td></tr>\n'
    )


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
