"""Singular vectors and eigenvectors of large sparse matrices by block Krylov iteration."""

from recsys.models.spectral.truncated import symmetric_eigenpairs, truncated_svd

__all__ = ["symmetric_eigenpairs", "truncated_svd"]
