"""What a trained network is for: the run on disk opened again, its photos judged."""
