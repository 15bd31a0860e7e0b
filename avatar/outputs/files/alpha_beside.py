"""The alpha that VP9 in WebM keeps beside each packet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet

_KIND: Any = "matroska_block_additional"


def alpha_beside(packet: Packet[Any]) -> bytes:
    """Return a packet's alpha as it is encoded; empty: it has none."""
    return bytes(packet.get_sidedata(_KIND)) if packet.has_sidedata(_KIND) else b""


def put_beside(packet: Packet[Any], alpha: bytes) -> None:
    """Give a packet the alpha of another one, if it had some."""
    from av.packet import PacketSideData, packet_sidedata_type_from_literal

    if alpha:
        side_data: Any = PacketSideData  # its stub knows no arguments
        beside = side_data(packet_sidedata_type_from_literal(_KIND), len(alpha))
        beside.update(alpha)
        packet.set_sidedata(beside)
