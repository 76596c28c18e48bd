import numpy as np
import pytest

from models.index.gaussian_codes import code_bytes, quantize, rotation, similarities

BITS = (1, 2, 4)


def unit_vectors(num: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [3, 8, 100, 384])
def test_a_rotation_keeps_dot_products(dim: int) -> None:
    turned = rotation(dim)

    assert turned.shape[0] == dim
    assert turned.shape[1] % 8 == 0
    assert np.abs(turned @ turned.T - np.eye(dim)).max() < 1e-5


def test_the_rotation_stays_the_same_in_every_release() -> None:
    # Stored codes are read with these numbers. If they change, the codec needs a new version.
    assert rotation(384)[0, :3].tolist() == pytest.approx([0.0871982, 0.0269034, 0.0527028], abs=1e-6)
    assert rotation(384)[383, 381:].tolist() == pytest.approx([-0.0800813, -0.0654132, 0.0296757], abs=1e-6)


@pytest.mark.parametrize(("bits", "size"), [(1, 48), (2, 96), (4, 192)])
def test_a_vector_takes_its_bits(bits: int, size: int) -> None:
    stored = quantize(unit_vectors(5, 384), bits)

    assert stored.codes.shape == (5, size)
    assert code_bytes(384, bits) == size


# The mean error of a dot product of random unit vectors, in units of 1 / sqrt(384). More bits are more exact.
@pytest.mark.parametrize(("bits", "error"), [(1, 0.8), (2, 0.4), (4, 0.11)])
def test_similarities_are_near_the_exact_ones(bits: int, error: float) -> None:
    queries, vectors = unit_vectors(20, 384, seed=1), unit_vectors(200, 384, seed=2)

    difference = similarities(queries, quantize(vectors, bits)) - queries @ vectors.T

    assert difference.dtype == np.float32
    assert np.sqrt(np.mean(difference**2)) < error / np.sqrt(384)
    assert abs(float(difference.mean())) < 0.1 / np.sqrt(384)


@pytest.mark.parametrize("bits", BITS)
def test_a_vector_has_a_similarity_of_one_with_itself(bits: int) -> None:
    vectors = unit_vectors(50, 384)

    assert similarities(vectors, quantize(vectors, bits)).diagonal() == pytest.approx(np.ones(50), abs=2e-3)


@pytest.mark.parametrize("bits", BITS)
def test_any_number_of_dimensions_can_be_stored(bits: int) -> None:
    vectors = unit_vectors(4, 13)

    matches = similarities(vectors, quantize(vectors, bits))

    assert matches.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_a_row_of_zeros_is_similar_to_nothing() -> None:
    vectors = np.zeros((2, 16), np.float32)

    assert similarities(unit_vectors(3, 16), quantize(vectors, 2)).tolist() == [[0, 0]] * 3
