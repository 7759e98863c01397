"""What rows are: of a kind, distinct, in an order of their own, and weighted.

Rows come in kinds: complete, or with missing values. No caller asks which; it calls
what every kind has. A new kind, of sparse rows or of rows on many machines, takes

1. a file here, beside `complete` and `missing`, with two classes:

   - rows of X, with the calls of `complete.Complete`: what a network says of them;
   - distinct rows, with those of `complete.DistinctRows`: `WeightedRows` has what does
     not depend on the kind. ``expectation(memories)`` returns `statistics.Statistics`,
     which merge: rows in parts ask each of them, and merge what they say, in order;

2. a line where kinds are told apart: `kinds.of_each_kind`, `kinds.as_one_kind` and
   `distinct.distinct_rows`;

3. a version of each function that is `kinds.by_kind`, for what belongs to learning, as
   `free_energy_of` in `amcluster.learning.kinds`, and an entry in `DISTANCES` of
   `amcluster.clusterers.answers`. What has none refuses such rows.

Rows on the sphere, dense or sparse, meet memories of another form: `sphere` has both
kinds, and what they say of themselves.

``has_missing`` is for kernels, which are told whether to look for NaN.
"""
