"""What holds for the sources and for what they are compiled to, whatever they compute."""
