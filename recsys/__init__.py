"""A collaborative-filtering recommender engine."""
