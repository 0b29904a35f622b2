"""Our Ed25519 verifier: the vectors of RFC 8032, hostile ones, and `cryptography` beside it."""

from __future__ import annotations

import hashlib
import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from antivenom_client.ed25519 import verify

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

# Source: RFC 8032, section 7.1: (public key, message, signature).
VECTORS = {
    "TEST 1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        (""),
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25b"
            "f5f0595bbe24655141438e7a100b"
        ),
    ),
    "TEST 2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ("72"),
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b"
            "2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "TEST 3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ("af82"),
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c"
            "15e9716ed28dc027beceea1ec40a"
        ),
    ),
    "TEST 1024": (
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        (
            "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f54e9f77b1e355"
            "f6c50544e23fb1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d658675fc"
            "6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a858efcb8550ee3a5e1998bd177e93a7363c344fe6b"
            "199ee5d02e82d522c4feba15452f80288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e06203b33890cc9b8"
            "32f79ef80560ccb9a39ce767967ed628c6ad573cb116dbefefd75499da96bd68a8a97b928a8bbc103b6621fcde2beca1231d"
            "206be6cd9ec7aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed185ce81bd84359d44254d9562"
            "9e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d502f1a8c6eb6f1ce22b3de1a1f40"
            "cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f27088d78b7e883c8759d2c4f5c65adb7553"
            "878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089beccf80cfe2df16a2cf65bd92dd597b0707e0"
            "917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128bab27af87a71314f318c782b23ebfe808b82b0ce26"
            "401d2e22f04d83d1255dc51addd3b75a2b1ae0784504df543af8969be3ea7082ff7fc9888c144da2af58429ec96031dbcad3"
            "dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9b47acdb751fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301"
            "651339e22904cc8c42f58c30c04aafdb038dda0847dd988dcda6f3bfd15c4b4c4525004aa06eeff8ca61783aacec57fb3d1f"
            "92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34dff7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401ade"
            "bf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7984a74d37145986780fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab4"
            "7b57f7f7276cd419c17a3ca8e1b939ae49e488acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a3"
            "2ef5b52a1ecc820e308aa342721aac0943bf6686b64b2579376504ccc493d97e6aed3fb0f9cd71a43dd497f01f17c0e2cb37"
            "97aa2a2f256656168e6c496afc5fb93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b50d334ba7"
            "7c225bc307ba537152f3f1610e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315c"
            "f4fde7cb68606937380db2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef"
            "68d3a101e8a3b8cac60c905c15fc910840b94c00a0b9d0"
        ),
        (
            "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa5371b1508f9f4528ecea23c436d94b5e8f"
            "cd4f681e30a6ac00a9704a188a03"
        ),
    ),
    "TEST SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d"
            "4423643ce80e2a9ac94fa54ca49f"
        ),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca"
            "179c138ac17ad9bef1177331a704"
        ),
    ),
}

# The eight points whose order divides eight, in their only allowed spelling.
SMALL_ORDER = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_rfc_hold(name: str) -> None:
    public, message, signature = map(bytes.fromhex, VECTORS[name])
    assert verify(public, message, signature)


@pytest.mark.parametrize("name", VECTORS)
def test_flipped_bit_anywhere_is_refused(name: str) -> None:
    public, message, signature = map(bytes.fromhex, VECTORS[name])
    rng = random.Random(name)
    for position in [*range(0, 256, 17), 255]:
        assert not verify(_flip(public, position), message, signature)
    for position in [*range(0, 512, 31), 511]:
        assert not verify(public, message, _flip(signature, position))
    for position in rng.sample(range(len(message) * 8), min(8, len(message) * 8)):
        assert not verify(public, _flip(message, position), signature)
    assert not verify(public, message + b"\0", signature)


def test_signature_whose_s_is_not_below_the_order_is_refused(key: Ed25519PrivateKey) -> None:
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
    s = int.from_bytes(signature[32:], "little")
    for times in range(1, 15):
        malleable = signature[:32] + (s + times * ORDER).to_bytes(32, "little")
        assert not verify(public, b"m", malleable)


def test_wrong_lengths_are_refused(key: Ed25519PrivateKey) -> None:
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
    for cut in (b"", public[:-1], public + b"\0"):
        assert not verify(cut, b"m", signature)
    for cut in (b"", signature[:-1], signature + b"\0", signature[:32]):
        assert not verify(public, b"m", cut)


def test_second_spelling_of_a_y_is_refused() -> None:
    # y + p fits into 255 bits for y below 19. Of those, y = 3 and others are points; none may be written so.
    for y in range(19):
        for sign in (0, 1 << 255):
            spelled = ((y + P) | sign).to_bytes(32, "little")
            assert not verify(spelled, b"m", spelled + bytes(32))
            assert not verify(spelled, b"m", bytes.fromhex(SMALL_ORDER[0]) + bytes(32))


def test_y_that_is_on_no_point_is_refused() -> None:
    assert not verify((2).to_bytes(32, "little"), b"m", bytes(64))


@pytest.mark.parametrize("commitment", SMALL_ORDER)
@pytest.mark.parametrize("public", SMALL_ORDER)
def test_key_of_small_order_signs_nothing(public: str, commitment: str) -> None:
    """With S = 0 such pairs fulfil the equation for one message in eight or for all, depending on the verifier."""
    signature = bytes.fromhex(commitment) + bytes(32)
    assert not any(verify(bytes.fromhex(public), b"%d" % number, signature) for number in range(16))


def test_commitment_of_small_order_is_refused(key: Ed25519PrivateKey) -> None:
    """S = k·a with R = 0: whoever knows the key can make it, and verifiers disagree about it."""
    public = key.public_key().public_bytes_raw()
    digest = bytearray(hashlib.sha512(bytes(range(32))).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    zero = bytes.fromhex(SMALL_ORDER[0])
    k = int.from_bytes(hashlib.sha512(zero + public + b"m").digest(), "little")
    signature = zero + (k * int.from_bytes(digest, "little") % ORDER).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"m")  # the equation holds
    assert not verify(public, b"m", signature)


def test_random_signatures_are_judged_as_cryptography_judges_them() -> None:
    rng = random.Random(8032)
    for _ in range(150):
        private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        public, message = private.public_key(), rng.randbytes(rng.randrange(200))
        signature = private.sign(message)
        if rng.random() < 0.5:
            signature = _flip(signature, rng.randrange(512))
        try:
            public.verify(signature, message)
            expected = True
        except InvalidSignature:
            expected = False
        assert verify(public.public_bytes_raw(), message, signature) is expected


def _flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
