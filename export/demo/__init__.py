"""The demo: a small Bark that says sentences of about a thousand words."""
