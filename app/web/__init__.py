"""The web app: the files that `make web` builds from `web/`, served at `/`."""
