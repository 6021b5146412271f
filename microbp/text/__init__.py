"""What a person reads: tables, names that are safe for their medium, the word that was meant, notebooks."""
