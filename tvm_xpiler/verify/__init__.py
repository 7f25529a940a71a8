"""Whether a translation computes what its source computes, and the evidence for it."""
