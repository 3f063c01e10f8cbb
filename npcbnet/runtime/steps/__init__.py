"""Operations become steps of a program: one function for each kind, which picks the micro-kernel and packs the
weights."""
