"""What a Bark graph is: its contract, its manifest, its settings. Knows no torch."""
