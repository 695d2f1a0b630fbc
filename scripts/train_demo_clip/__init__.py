"""Train the demo CLIP that ships in `models/demo-clip`, and draw its sample pictures.

Flow: sources (emoji sets) -> sprites -> scenes + captions -> batches -> train -> evaluate / make_samples.
"""
