"""Who trains: replicas described, started, watched and stopped."""
