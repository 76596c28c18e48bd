"""Layer 2, replicas: one file a stage, each with its config (user_config), its replica and its client."""
