"""`ragserve kubernetes`: generate the manifests in kuberay/ from serve_config.yaml. Nothing here talks to a cluster."""
