"""Pictures of speech. Needs the extra [plot]."""
