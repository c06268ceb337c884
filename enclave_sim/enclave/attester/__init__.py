"""Who decides about the evidence of a run: the verifier built in, one elsewhere, or the answers of a recording."""
