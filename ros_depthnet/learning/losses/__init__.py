"""What a network can be taught by: other images of the same place, priors, and depth."""
