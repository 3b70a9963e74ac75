"""What makes of each row of the corpus of token attacks the requests that it describes."""
