"""The networks: DepthNet (Pinard 2017a) and parallaxnet."""
