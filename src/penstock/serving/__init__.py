"""Online endpoints: the gateway, its replicas, and the service that records what is wanted."""
