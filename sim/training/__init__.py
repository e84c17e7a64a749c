"""Work of training and batch that runs on the GPUs of a cluster."""
