"""Verifies Ed25519 signatures with the standard library alone. Runs once when a file was fetched, never on a hot path.

Only public values are handled, so nothing here has to take the same time for every input. What is not the one form in
which a key or a signature may be written is refused: two verifiers must never disagree about one signature.

Source: RFC 8032, sections 5.1.3 (decoding), 5.1.7 (verification, without the cofactor) and 6 (its reference code).
"""

from __future__ import annotations

import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1

_Point = tuple[int, int, int, int]
"""X, Y, Z, T with x = X/Z, y = Y/Z, x·y = T/Z."""

_ZERO: _Point = (0, 1, 1, 0)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature of the message was made with the private half of the key.

    False for everything else: wrong lengths, points in a second spelling or of small order, an S that is not below the
    order of the group.
    """
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key, commitment = _decode(public_key), _decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or s >= _L or _has_small_order(key) or _has_small_order(commitment):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % _L
    return _is_equal(_times(s, _BASE), _add(commitment, _times(k, key)))


def _decode(text: bytes) -> _Point | None:
    """The point that 32 bytes stand for; None for none."""
    y = int.from_bytes(text, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    x = _find_x(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _find_x(y: int, sign: int) -> int | None:
    """The x of a point with this y whose lowest bit is `sign`; None when there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P:
        return None
    return _P - x if x & 1 != sign else x


def _add(p: _Point, q: _Point) -> _Point:
    """Complete for this curve, so it doubles too. Source: RFC 8032, section 5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(count: int, point: _Point) -> _Point:
    total = _ZERO
    while count:
        if count & 1:
            total = _add(total, point)
        point = _add(point, point)
        count >>= 1
    return total


def _is_equal(p: _Point, q: _Point) -> bool:
    return not (p[0] * q[2] - q[0] * p[2]) % _P and not (p[1] * q[2] - q[1] * p[2]) % _P


def _has_small_order(point: _Point) -> bool:
    """Whether eight times the point is zero: with such a key one signature would fit many messages."""
    return _is_equal(_times(8, point), _ZERO)


_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = _find_x(_BASE_Y, 0) or 0
_BASE: _Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
