"""Land-cover maps: what a trained network says of every pixel of a scene, as a GeoTIFF."""
