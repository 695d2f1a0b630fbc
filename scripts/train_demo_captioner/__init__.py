"""Makes the demo captioner: scenes with sentences, and a small GIT trained on them."""
