"""The window's microphone: chosen, heard, muted, missing; and the avatar that follows a voice."""

from __future__ import annotations

from fakes_ui import Desk, PlayedSound

from avatar.errors import OutputError
from avatar.live.events import OutputLacks, SourceBack
from avatar.sources.base import SourceFacts
from ui.panels.sound import SoundSection

MISSING = OutputError(
    "Recording sound needs the library PortAudio.", remedy="Install it: sudo apt install libportaudio2"
)


def section_of(desk: Desk) -> SoundSection:
    section = desk.window.panel.sound
    desk.until(lambda: section.refresh.isEnabled() and section.choice.combo.count() > 1)
    return section


def listening(desk: Desk) -> list[PlayedSound]:
    return [each for each in desk.services.opened if not each.closed]


def test_nothing_listens_until_it_is_wanted_and_not_after_that(desk: Desk) -> None:
    section = section_of(desk)
    assert not desk.services.opened and not section.level.isEnabled()
    section.record.click()
    desk.until(lambda: len(listening(desk)) == 1)
    section.set_folded(True)
    desk.until(lambda: not listening(desk))
    section.set_folded(False)
    desk.until(lambda: len(listening(desk)) == 1)
    section.record.click()
    desk.until(lambda: not listening(desk))


def test_the_chosen_one_is_heard(desk: Desk) -> None:
    section = section_of(desk)
    section.record.click()
    desk.until(lambda: len(listening(desk)) == 1)
    assert listening(desk)[0].name == ""
    section.choice.chosen.emit("Headset")
    desk.until(lambda: [each.name for each in listening(desk)] == ["Headset"])
    assert desk.session.settings.sound.microphone == "Headset"
    listening(desk)[0].monitor.note(0.5)
    desk.until(lambda: section.level.value() > 60)
    desk.until(lambda: section.level.value() == 0)


def test_mute_reaches_the_microphone_that_records(desk: Desk) -> None:
    section = section_of(desk)
    section.record.click()
    desk.until(lambda: len(listening(desk)) == 1)
    monitor = desk.window.captures.monitor  # of the microphone that records, too
    assert listening(desk)[0].monitor is monitor
    for muted in (True, False):
        section.mute.click()
        assert monitor.muted is muted and desk.session.settings.sound.muted is muted


def test_what_is_missing_is_said_before_it_can_be_ticked(desk: Desk) -> None:
    desk.services.microphones = MISSING
    section = desk.window.panel.sound
    section.refresh.click()
    desk.until(lambda: not section.record.isEnabled())
    assert "libportaudio2" in section.status.text() and not section.record.isChecked()
    desk.services.microphones = ("Built-in",)
    section.refresh.click()
    desk.until(section.record.isEnabled)
    assert section.status.text() == ""


def test_a_recording_without_its_sound_goes_on_and_says_so(desk: Desk) -> None:
    desk.pipeline.tell(OutputLacks("recording", MISSING))
    desk.until(lambda: any("no sound" in text and "PortAudio" in text for text in desk.notices()))


def test_an_unplugged_microphone_keeps_its_place_in_the_list(desk: Desk) -> None:
    section = section_of(desk)
    section.choice.chosen.emit("Headset")
    desk.services.microphones = ("Built-in",)
    section.refresh.click()
    desk.until(lambda: "not found" in section.choice.combo.currentText())
    assert desk.session.settings.sound.microphone == "Headset"


def test_alsa_s_own_default_is_not_offered_beside_the_system_s(desk: Desk) -> None:
    section = section_of(desk)
    desk.services.microphones = ("default", "Built-in")
    section.refresh.click()
    names = lambda: [section.choice.combo.itemText(row) for row in range(section.choice.combo.count())]  # noqa: E731
    desk.until(lambda: names() == ["The system’s default", "Built-in"])
    section.choice.chosen.emit("default")  # by a settings file from before
    section.refresh.click()
    desk.until(lambda: names() == ["The system’s default", "default", "Built-in"])
    assert section.choice.combo.currentText() == "default"


def test_without_a_camera_one_click_lets_the_avatar_speak(desk: Desk) -> None:
    desk.services.cameras = ()
    camera = desk.window.panel.camera
    desk.session.change("camera", source="idle")
    camera.refresh.click()
    desk.until(camera.speak.isVisible)
    camera.speak.click()
    assert desk.session.settings.camera.source == "voice" and desk.pipeline.config.source == "voice"
    desk.pipeline.tell(SourceBack("voice", SourceFacts(512, 512, 30.0)))
    desk.until(lambda: "speaks as you do" in camera.status.text())
    assert not camera.speak.isVisible() and not desk.window.panel.calibration.guided.isEnabled()
    desk.until(lambda: len(listening(desk)) == 1)  # the meter shows that it is heard
    section = desk.window.panel.sound
    section.choice.chosen.emit("Headset")
    desk.until(lambda: desk.pipeline.config.source == "voice:Headset")


def test_there_is_no_camera_to_show_while_a_voice_drives(desk: Desk) -> None:
    desk.session.change("camera", source="voice")
    desk.session.pass_through(True)
    assert not desk.session.state.passing and not any(name == "pass_through" for name, _ in desk.pipeline.calls)


def test_the_microphone_is_let_go_of_when_the_window_closes(desk: Desk) -> None:
    section = section_of(desk)
    section.record.click()
    desk.until(lambda: len(listening(desk)) == 1)
    section.close_microphone()
    desk.until(lambda: not listening(desk))
