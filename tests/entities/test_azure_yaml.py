"""Specifications written as Azure ML's documentation and examples write them are taken as they are."""

from __future__ import annotations

import pytest

from penstock.entities.asset import DataSpec, EnvironmentSpec, ModelSpec
from penstock.entities.endpoint import OnlineDeploymentSpec, OnlineEndpointSpec
from penstock.entities.job import CommandJobSpec
from penstock.rules.specfile import load_entity, parse_document

JOBS = {
    "smallest": "command: echo hi\n",
    "with everything around it": """
        $schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
        type: command
        name: train-1
        display_name: A name, as free as you like
        experiment_name: digits
        description: |
          Several
          lines.
        tags: {owner: me, attempt: 3, final: true}
        properties: {a: b}
        code: src
        command: >-
          python train.py
          --lr ${{inputs.lr}} $[[--seed ${{inputs.seed}}]]
          --data ${{inputs.data}} --out ${{outputs.model}}
        environment: azureml:AzureML-sklearn-1.5@latest
        environment_variables: {OMP_NUM_THREADS: 1, DEBUG: true, RATE: 0.5}
        compute: azureml:cpu-cluster
        limits: {timeout: 3600}
        inputs:
          lr: 0.01
          seed: {type: integer, optional: true}
          data: {type: uri_folder, path: azureml:digits@latest, mode: ro_mount}
          url: {type: uri_file, path: https://example.org/iris.csv, mode: download}
          model: {type: mlflow_model, path: azureml:m:1}
          store: {path: azureml://datastores/blob/paths/x}
        outputs:
          model: {type: custom_model, mode: upload}
          table: {type: mltable, name: t, version: 1}
          rest:
        """,
    "distributed": """
        command: python train.py
        environment: {image: "docker.io/python", conda_file: {name: x, dependencies: [pip]}}
        distribution: {type: pytorch, process_count_per_instance: 2}
        resources:
          instance_count: 2
          instance_type: Standard_NC6s_v3
          shm_size: 16g
          docker_args: --ulimit nofile=1
          locations: [westeurope]
          max_instance_count: 4
          properties: {ComputeSpecification: {Automatic: false}}
        queue_settings: {job_tier: standard}
        identity: {type: user_identity}
        services:
          board: {type: tensor_board, log_dir: outputs/tb, nodes: all}
        """,
    "mpi with a docker build": """
        command: bash run.sh
        environment: {build: {path: docker, dockerfile_path: Dockerfile}, os_type: linux}
        distribution: {type: mpi, process_count_per_instance: 1}
        """,
}
OTHERS = [
    (
        ModelSpec,
        """
        $schema: https://azuremlschemas.azureedge.net/latest/model.schema.json
        name: m
        version: 1
        path: azureml://jobs/j/outputs/artifacts/paths/model
        type: mlflow_model
        stage: Production
        datastore: azureml:workspaceblobstore
        flavors: {python_function: {python_version: 3.10.4, loader_module: mlflow.sklearn}}
        """,
    ),
    (DataSpec, "{name: d, version: 2024-01-01, type: uri_file, path: https://example.org/iris.csv}"),
    (
        EnvironmentSpec,
        """
        name: e
        image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04
        conda_file: conda.yml
        inference_config:
          liveness_route: {port: 8080, path: /ping}
          readiness_route: {port: 8080, path: /ping}
          scoring_route: {port: 8080, path: /predictions}
        """,
    ),
    (
        OnlineEndpointSpec,
        """
        name: my-endpoint
        auth_mode: aml_token
        public_network_access: disabled
        identity: {type: system_assigned}
        traffic: {blue: 90, green: 10}
        mirror_traffic: {red: 10}
        tags: {a: 1}
        """,
    ),
    (
        OnlineDeploymentSpec,
        """
        name: blue
        endpoint_name: my-endpoint
        type: managed
        model: {name: m, version: 1, path: ../model/}
        code_configuration: {code: ../onlinescoring/, scoring_script: score.py}
        environment: {conda_file: ../environment/conda.yml, image: "x:latest"}
        environment_variables: {WORKERS: 2}
        instance_type: Standard_DS3_v2
        instance_count: 1
        model_mount_path: /var/m
        app_insights_enabled: true
        egress_public_network_access: disabled
        private_network_connection: false
        request_settings:
          {request_timeout_ms: 3000, max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 500}
        liveness_probe: {period: 10, initial_delay: 10, timeout: 2, success_threshold: 1, failure_threshold: 30}
        readiness_probe: {period: 10}
        scale_settings: {type: target_utilization, min_instances: 1, max_instances: 3}
        data_collector: {collections: {model_inputs: {enabled: 'True'}}}
        """,
    ),
]


@pytest.mark.parametrize("text", JOBS.values(), ids=JOBS)
def test_a_job(text):
    spec = load_entity(parse_document(text), CommandJobSpec)
    assert CommandJobSpec.model_validate_json(spec.model_dump_json(by_alias=True, exclude_none=True)) == spec


@pytest.mark.parametrize(("model", "text"), OTHERS)
def test_other_things(model, text):
    spec = load_entity(parse_document(text), model)
    assert model.model_validate_json(spec.model_dump_json(by_alias=True, exclude_none=True)) == spec


def test_numbers_in_tags_and_variables_are_text_as_written():
    spec = load_entity(parse_document(JOBS["with everything around it"]), CommandJobSpec)
    assert spec.tags == {"owner": "me", "attempt": "3", "final": "true"}
    assert spec.environment_variables == {"OMP_NUM_THREADS": "1", "DEBUG": "true", "RATE": "0.5"}
    assert spec.outputs["rest"] is None


def test_a_date_can_be_a_version():
    assert load_entity(parse_document(OTHERS[1][1]), DataSpec).version == "2024-01-01"
