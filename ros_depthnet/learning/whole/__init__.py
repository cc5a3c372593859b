"""What OpenCV and numpy do on a CPU before and after the network, in torch, to be exported for GPUs."""
