"""From serve_config.yaml to the manifests in kuberay/: values in, a RayService out. Nothing here talks to a cluster."""
