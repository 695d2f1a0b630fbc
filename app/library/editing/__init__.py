"""Pictures come, change and go: adding, describing, deleting, bringing back."""
