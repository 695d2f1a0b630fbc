"""Trains the demo generator: Stable Diffusion in miniature, on drawn scenes of emoji.

Autoencoder (`train_autoencoder`) -> latents of painted scenes (`latents`) -> denoiser (`train`) -> `export`.
"""
