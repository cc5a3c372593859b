"""What a network can be taught by: other images of the same place, priors, and labels that may be wrong."""
