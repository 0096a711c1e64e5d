"""The composition root: settings → stores → services → ASGI apps, loops and processes."""
