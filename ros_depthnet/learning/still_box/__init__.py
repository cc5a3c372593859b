"""Still Box: random still scenes, ray cast with exact depth (Pinard 2017a)."""
