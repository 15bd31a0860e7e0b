"""Messages between host and client: what is sent is what is read, and nothing else is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_samples import make_face

from avatar.motion.idle import load_idle
from avatar.motion.parameters import MAX_POINTS
from avatar.remote import protocol
from avatar.remote.faces import STEP, pack_motion, pack_reference, unpack_motion, unpack_reference
from avatar.remote.parcel import pack_portrait, unpack_portrait
from avatar.remote.protocol import (
    Challenge,
    Declined,
    FromClient,
    FromHost,
    Hello,
    Offer,
    Order,
    Part,
    Picture,
    ProtocolError,
    Ready,
    Reference,
    Refusal,
    Refused,
    Tuning,
    Want,
    Welcome,
    encode,
    read_from_client,
    read_from_host,
)
from avatar.settings import MotionSettings

numbers, times = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
secret, rest = st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=300)
shares = st.floats(0, 1, width=32)
motions = st.builds(
    MotionSettings, relative=st.booleans(), strength_head=st.floats(0, 2), region=st.sampled_from(["all", "lip"])
)
from_client = st.one_of(
    st.builds(Hello, st.just(protocol.VERSION), st.booleans(), secret, secret),
    st.builds(Offer, numbers, st.integers(1, protocol.MAX_PORTRAIT_BYTES), st.booleans(), secret),
    st.builds(Part, numbers, numbers, rest),
    st.builds(Reference, numbers, st.integers(0, 65535), rest),
    st.builds(Tuning, motions),
    st.builds(Order, numbers, times, numbers, numbers, numbers, shares, st.booleans(), st.booleans(), rest),
)
from_host = st.one_of(
    st.builds(Challenge, st.just(protocol.VERSION), secret),
    st.builds(Welcome, secret, st.just(0), st.just(0), secret, st.text(max_size=40)),
    st.builds(Welcome, secret, st.just(1), st.integers(1, MAX_POINTS), secret, st.text(max_size=40)),
    st.builds(Refused, st.sampled_from(Refusal)),
    st.builds(Want, numbers, numbers),
    st.builds(Ready, numbers, st.integers(0, 65535), st.integers(0, 65535)),
    st.builds(Declined, numbers),
    st.builds(Picture, numbers, times, numbers, numbers, st.booleans(), st.booleans(), rest),
)
many = settings(max_examples=300, deadline=None)


@given(from_client)
@many
def test_what_a_client_says_is_read(message: FromClient) -> None:
    assert read_from_client(encode(message)) == message
    with pytest.raises(ProtocolError):
        read_from_host(encode(message))


@given(from_host)
@many
def test_what_a_host_says_is_read(message: FromHost) -> None:
    assert read_from_host(encode(message)) == message
    with pytest.raises(ProtocolError):
        read_from_client(encode(message))


@given(st.one_of(st.binary(max_size=400), st.builds(lambda kind, junk: bytes([kind]) + junk, st.integers(0, 20), rest)))
@many
def test_junk_is_a_message_or_refused_and_never_more(junk: bytes) -> None:
    for read in (read_from_client, read_from_host):
        try:
            assert encode(read(junk)) is not None
        except ProtocolError as error:
            assert error.refusal in (Refusal.MALFORMED, Refusal.VERSION)


@given(st.one_of(from_client, from_host), st.data())
@many
def test_a_damaged_message_is_a_message_or_refused(message: FromClient | FromHost, data: st.DataObject) -> None:
    whole = bytearray(encode(message))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for damaged in (bytes(whole), cut):
        for read in (read_from_client, read_from_host):
            try:
                read(damaged)
            except ProtocolError:
                continue


@pytest.mark.parametrize(
    "junk", ["text", None, b"", b"\0" * (protocol.MAX_UP_BYTES + 1)], ids=lambda each: repr(each)[:9]
)
def test_what_is_no_message_at_all_is_refused(junk: object) -> None:
    with pytest.raises(ProtocolError):
        read_from_client(junk)


def test_another_version_is_told_from_junk() -> None:
    newer = bytearray(encode(Hello(protocol.VERSION, False, bytes(32), bytes(32))))
    newer[5] += 1
    for version in (bytes(newer), bytes(newer) + b"what a later version adds"):
        with pytest.raises(ProtocolError) as caught:
            read_from_client(version)
        assert caught.value.refusal is Refusal.VERSION


@pytest.mark.parametrize(
    "change",
    [{"strength_head": 3.0}, {"strength_head": 1}, {"relative": 1}, {"region": "arm"}, {"more": 1}, {"region": None}],
    ids=str,
)
def test_a_motion_transfer_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    usual = dataclasses.asdict(MotionSettings())
    kind = encode(Tuning(MotionSettings()))[:1]
    read_from_client(kind + json.dumps(usual).encode())
    with pytest.raises(ProtocolError):
        read_from_client(kind + json.dumps(usual | change).encode())


@pytest.mark.parametrize("text", [b"{", b"[" * 2000, b"\xff", b"NaN", b'{"relative": ' + b" " * 3000 + b"true}"])
def test_a_motion_transfer_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_from_client(encode(Tuning(MotionSettings()))[:1] + text)


def test_a_proof_tells_who_with_which_token_and_certificate() -> None:
    nonces = bytes(64)
    proofs = {
        protocol.proof_of(token, who, nonces, pin) for token in "ab" for who in ("client", "host") for pin in ("", "c")
    }
    assert len(proofs) == 8 and protocol.proof_of("a", "host", b"\1" + nonces[1:], "") not in proofs


def test_a_face_arrives_as_it_was_within_a_fraction_of_a_pixel() -> None:
    idle = load_idle()
    reference = make_face(scale=120, centre=(400, 300))
    for face in (idle.face(40), make_face(yaw=30, pitch=-10, scale=150, centre=(333, 222))):
        found = unpack_motion(pack_motion(face, reference), reference)
        assert np.abs(found.landmarks - face.landmarks).max() < STEP * face.pose.scale_px
        assert np.abs(found.blendshapes - face.blendshapes).max() <= 0.5 / 255 + 1e-6
        assert np.allclose(found.pose.rotation, face.pose.rotation, atol=1e-5)
        assert found.pose.yaw_deg == pytest.approx(face.pose.yaw_deg, abs=1e-2)
        assert found.pose.scale_px == pytest.approx(face.pose.scale_px) and found.presence == face.presence
        whole = unpack_reference(pack_reference(face))
        assert np.array_equal(whole.landmarks, face.landmarks) and np.array_equal(whole.blendshapes, face.blendshapes)


def test_motion_is_too_small_to_hold_a_picture() -> None:
    """At 30 frames a second it fits into 60 kB/s, and not even a thumbnail of a camera does."""
    idle = load_idle()
    rng = np.random.default_rng(0)
    reference = idle.face(0)
    for index in range(0, len(idle), 30):
        face = idle.face(index)
        noisy = dataclasses.replace(face, landmarks=face.landmarks + rng.normal(0, 2, (478, 3)).astype(np.float32))
        order = Order(1, 1, 1, 1, 1, 1.0, False, False, pack_motion(noisy, reference))
        assert len(encode(order)) < 2000


@given(st.binary(max_size=2000))
@many
def test_junk_is_a_face_or_refused(junk: bytes) -> None:
    reference = make_face()
    for unpack in (unpack_reference, lambda data: unpack_motion(data, reference)):
        with pytest.raises(ProtocolError):
            unpack(junk)


@given(st.lists(st.floats(width=32), min_size=8, max_size=8), st.binary(min_size=1, max_size=3000))
@many
def test_a_face_out_of_all_proportion_is_refused(pose: list[float], shape: bytes) -> None:
    reference = make_face()
    head = np.array(pose, "<f4").tobytes()
    shape = (shape * 3000)[: 478 * 6 + 52]
    for unpack in (unpack_reference, lambda data: unpack_motion(data, reference)):
        for data in (head + zlib.compress(shape), head + (shape * 3)[: 4 * (478 * 3 + 52)]):
            try:
                face = unpack(data)
            except ProtocolError:
                continue
            assert np.isfinite(face.landmarks).all() and np.abs(face.landmarks).max() < 1e5
            assert np.isfinite(face.blendshapes).all() and face.pose.scale_px > 0


def test_a_few_bytes_that_unpack_to_gigabytes_are_refused() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    reference = make_face()
    with pytest.raises(ProtocolError):
        unpack_motion(pack_motion(reference, reference)[:32] + bomb, reference)
    portrait = pack_portrait(np.zeros((32, 32, 3), np.uint8), reference, None)
    head = portrait.data[: 9 + len(pack_reference(reference))]
    with pytest.raises(ProtocolError):
        unpack_portrait(head + bomb)


@pytest.mark.parametrize("with_alpha", [False, True])
def test_a_portrait_arrives_to_the_bit(with_alpha: bool) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (37, 50, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (37, 50), dtype=np.uint8) if with_alpha else None
    face = make_face()
    parcel = pack_portrait(rgb, face, alpha)
    found, size = unpack_portrait(parcel.data)
    assert np.array_equal(found.rgb, rgb) and (parcel.width, parcel.height) == size == (50, 37)
    assert found.face is not None and np.array_equal(found.face.landmarks, face.landmarks)
    if alpha is None or found.alpha is None:
        assert alpha is found.alpha
    else:
        assert np.array_equal(found.alpha, alpha)


@given(st.integers(0, 60), st.integers(1, 255), st.integers(0, 4000))
@many
def test_a_damaged_portrait_is_a_portrait_or_refused(at: int, change: int, length: int) -> None:
    whole = bytearray(pack_portrait(np.full((24, 24, 3), 9, np.uint8), make_face(), None).data)
    with pytest.raises(ProtocolError):
        unpack_portrait(bytes(whole[: min(length, len(whole) - 1)]))
    whole[at] ^= change
    with contextlib.suppress(ProtocolError):
        assert unpack_portrait(bytes(whole))[0].rgb.size < 8192 * 8192
