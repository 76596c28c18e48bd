"""Events about documents, on their way from the corpus' outbox to other systems."""
