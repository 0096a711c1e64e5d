"""What every way of scoring shares: image preprocessing, contract check, codecs, runtimes."""
