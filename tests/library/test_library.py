from __future__ import annotations

import hashlib
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motion_samples import make_face
from safetensors.numpy import save

from avatar.errors import FaceError, ImageError, LibraryError, UsageError
from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.images.load import save_png
from avatar.library import builtin
from avatar.library import importing as library_import
from avatar.library import record as library_record
from avatar.library.builtin import ASTRONAUT, GALLERY
from avatar.library.importing import Choice
from avatar.library.library import LOCK, ORDER_FILE, Library, library_folder
from avatar.library.names import as_name, check_name, same_name
from avatar.library.prepared import PreparedStore
from avatar.portrait.check import check_portrait
from avatar.portrait.source import read_portrait
from avatar.tracking.face import Face
from avatar.tracking.marks import NEEDED


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "avatars")


def picture(folder: Path, name: str = "mona.png", shade: int = 90) -> Path:
    path = folder / name
    save_png(path, np.full((64, 48, 3), shade, np.uint8))
    return path


def one_face(rgb: RgbImage) -> list[Face]:
    return [make_face()]


def no_face(rgb: RgbImage) -> list[Face]:
    return []


@pytest.fixture(autouse=True)
def faces_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the small sample pictures as if they were 512 pixels wide."""
    real = check_portrait
    wide = np.zeros((512, 512, 3), np.uint8)
    monkeypatch.setattr(library_import, "check_portrait", lambda rgb, faces, number: real(wide, faces, number))


def names(library: Library) -> list[str]:
    return [avatar.name for avatar in library.avatars()]


def test_the_astronaut_is_there_from_the_start(library: Library) -> None:
    assert names(library) == [ASTRONAUT, *GALLERY]
    assert library.resolve("astronaut").is_file() and not library.folder.exists()
    for refused in (lambda: library.remove(ASTRONAUT), lambda: library.rename(ASTRONAUT, "Eileen")):
        with pytest.raises(LibraryError, match="built in"):
            refused()
    assert library.thumbnail(library.find(ASTRONAUT)).shape == (256, 256, 3)


def test_an_import_keeps_every_byte_and_its_notes(library: Library, tmp_path: Path) -> None:
    path = picture(tmp_path, "Mona Lisa.PNG")
    added = library.add(path, detect=one_face, source='the "Louvre" \\ Paris', licence="public domain\x7f\n")
    avatar = Library(library.folder).find("mona lisa")
    assert avatar == added.avatar and avatar.name == "Mona Lisa"
    assert avatar.image_path.read_bytes() == path.read_bytes() and avatar.image_path.suffix == ".png"
    assert avatar.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (avatar.source, avatar.licence) == ('the "Louvre" \\ Paris', "public domain\x7f\n")
    assert avatar.created.endswith("+00:00") and added.report.ok
    assert library.thumbnail(avatar).shape == (256, 256, 3)
    path.unlink()
    assert library.resolve("MONA LISA") == avatar.image_path


def test_face_marks_come_back_until_the_picture_changes(library: Library, tmp_path: Path) -> None:
    avatar = library.add(picture(tmp_path), detect=one_face).avatar
    face = library.face(avatar)
    assert face is not None and np.array_equal(face.landmarks, make_face().landmarks)
    assert face.pose.yaw_deg == pytest.approx(make_face().pose.yaw_deg)
    picture(avatar.folder, avatar.image_path.name, shade=10)
    assert library.face(library.find(avatar.name)) is None
    assert library.resolve(avatar.name).is_file()  # an edited picture is still an avatar


def test_one_of_two_faces_is_chosen_by_its_number(library: Library, tmp_path: Path) -> None:
    large, small = make_face(scale=100, centre=(150, 256)), make_face(scale=90, centre=(400, 256))
    with pytest.raises(UsageError, match="2 faces"):
        library.add(picture(tmp_path), detect=lambda rgb: [large, small], choice=Choice(face_number=3))
    with pytest.raises(UsageError, match="one face"):
        library.add(picture(tmp_path), detect=one_face, choice=Choice(face_number=0))
    assert not library.folder.exists()
    added = library.add(picture(tmp_path), detect=lambda rgb: [large, small], choice=Choice(face_number=2))
    assert added.report.face is added.report.faces[1]
    assert np.array_equal(added.report.faces[0].landmarks, large.landmarks)
    assert "several-faces" not in [remark.code for remark in added.report.remarks]  # it was chosen
    kept = library.face(added.avatar)
    assert kept is not None and np.array_equal(kept.landmarks, small.landmarks)


def sketch(folder: Path, name: str = "cat.png") -> Path:
    return picture_of(folder, name, 512)


def picture_of(folder: Path, name: str, side: int, shade: int = 60) -> Path:
    save_png(folder / name, np.full((side, side, 3), shade, np.uint8))
    return folder / name


def hand_marks(face: Face) -> dict[str, tuple[float, float]]:
    return {name: (float(x), float(y)) for name, (index, *_) in NEEDED.items() for x, y in [face.landmarks[index, :2]]}


@pytest.mark.parametrize("line", ["chin = [nan, 1]", "chin = [1, inf]", "chin = [1e300, 1]", "tail = [1, 1]"])
def test_marks_that_are_no_places_are_left_out(library: Library, tmp_path: Path, line: str) -> None:
    folder = library.add(picture(tmp_path), detect=one_face).avatar.folder
    record = (folder / "avatar.toml").read_text(encoding="utf-8")
    for marks, known in (("chin = [3, 4.5]", {"chin": (3.0, 4.5)}), (line, None)):
        (folder / "avatar.toml").write_text(f"{record}\n[marks]\n{marks}\n", encoding="utf-8")
        avatar = library.find(folder.name)
        assert avatar.marks == known and not avatar.problem


def test_marks_by_hand_are_kept_with_the_face_they_make(library: Library, tmp_path: Path) -> None:
    marks = hand_marks(make_face(yaw=15))
    added = library.add(sketch(tmp_path), detect=no_face, choice=Choice(marks=marks))
    kept = Library(library.folder).find("cat")
    face = library.face(kept)
    assert kept.marks == marks and face is not None
    assert face.pose.yaw_deg == pytest.approx(15, abs=1)
    assert added.report.face is not None and np.array_equal(added.report.face.landmarks, face.landmarks)
    with pytest.raises(FaceError, match="lower lip lies above"):
        library.change("cat", Choice(marks={**marks, "lower_lip": marks["nose_tip"]}), detect=no_face)
    with pytest.raises(FaceError, match="no face"):
        library.change("cat", Choice(), detect=no_face)
    assert library.find("cat") == kept  # as it was
    edited = {**marks, "chin": (marks["chin"][0], marks["chin"][1] + 40)}
    library.change("cat", Choice(marks=edited), detect=no_face)
    changed = library.face(library.find("cat"))
    assert changed is not None and changed.landmarks[152, 1] > face.landmarks[152, 1] + 20
    library.change("cat", Choice(), detect=one_face)
    assert library.find("cat").marks is None


def test_a_part_of_the_picture_is_kept_and_holds_the_face(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # these pictures are as large as they seem
    box = Box(100, 50, 400, 420)
    in_part = make_face(centre=(200, 200))
    seen: list[tuple[int, ...]] = []

    def detect(rgb: RgbImage) -> list[Face]:
        seen.append(rgb.shape)
        return [in_part]

    library = Library(tmp_path / "library")
    avatar = library.add(picture_of(tmp_path, "a.png", 600), detect=detect, choice=Choice(crop=box)).avatar
    assert seen == [(420, 400, 3)] and library.find("a").crop == box
    likeness = library.likeness("a")
    assert likeness.crop == box and likeness.face is not None
    assert likeness.face.landmarks[1, :2] == pytest.approx(in_part.landmarks[1, :2] + (100, 50))
    source = read_portrait(likeness, None)  # type: ignore[arg-type]  # the face is known, so nothing is looked for
    assert source.rgb.shape == (420, 400, 3) and source.box == box
    assert source.faces[0].landmarks == pytest.approx(in_part.landmarks, abs=1e-3)
    assert source.faces[0].pose.centre_px == pytest.approx(in_part.pose.centre_px, abs=1e-3)
    with pytest.raises(UsageError, match="outside"):
        library.change("a", Choice(crop=Box(500, 0, 200, 200)), detect=detect)
    assert library.find("a") == avatar
    library.change("a", Choice(), detect=detect)
    assert library.likeness("a").crop == "auto"


def test_a_record_that_holds_no_sense_about_part_and_marks(library: Library, tmp_path: Path) -> None:
    avatar = library.add(picture(tmp_path), detect=one_face).avatar
    record = avatar.folder / "avatar.toml"
    sound = record.read_text()
    for odd in (
        "crop = [1, 2]", "crop = [0, 0, -5, 5]", 'crop = "auto"', "crop = [1.5, 0, 9, 9]", "marks = 3",
        "[marks]\nchin = [1]", '[marks]\nchin = ["a", "b"]', "[marks]\nchin = [true, 1]",
    ):  # fmt: skip
        record.write_text(f"{sound}{odd}\n")
        assert library.find("mona") == avatar


def test_the_right_to_use_a_likeness_is_asked_for_once_and_kept(library: Library, tmp_path: Path) -> None:
    assert not library.find(ASTRONAUT).needs_confirming
    sure = library.add(picture(tmp_path, "me.png", 1), detect=one_face, confirmed=True).avatar
    assert sure.confirmed.endswith("+00:00") and not sure.needs_confirming
    unsure = library.add(picture(tmp_path, "her.png", 2), detect=one_face, licence="CC BY").avatar
    assert unsure.needs_confirming
    now_sure = library.confirm("her")
    assert not now_sure.needs_confirming and replace(now_sure, confirmed="") == unsure
    record = unsure.folder / "avatar.toml"
    record.write_text("".join(line for line in record.read_text().splitlines(True) if "confirmed" not in line))
    assert library.find("her") == unsure  # a record of an older version
    library.rename("me", "myself")
    assert not library.find("myself").needs_confirming
    (unsure.folder / "picture.png").unlink()
    for refused in ("her", ASTRONAUT, "nobody"):
        with pytest.raises(LibraryError):
            library.confirm(refused)


def test_damaged_face_marks_are_no_marks(library: Library, tmp_path: Path) -> None:
    avatar = library.add(picture(tmp_path), detect=one_face).avatar
    (avatar.folder / "face.safetensors").write_bytes(b"\x00" * 40)
    assert library.face(avatar) is None


def test_a_picture_without_a_face_is_refused_unless_asked_for(library: Library, tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="no face"):
        library.add(picture(tmp_path), detect=no_face)
    assert not library.folder.exists()
    avatar = library.add(picture(tmp_path), detect=no_face, without_face=True).avatar
    assert library.face(avatar) is None and library.resolve("mona").is_file()


def test_what_is_no_picture_is_refused(library: Library, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ImageError):
        library.add(tmp_path / "a.png", detect=one_face)
    assert not library.folder.exists()


@pytest.mark.parametrize("step", ["write", "write_face", "copyfile", "save_png"])
def test_an_import_that_fails_leaves_nothing(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    library.add(picture(tmp_path, "first.png"), detect=one_face)
    before = sorted(path.name for path in library.folder.iterdir())

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    owner = {"copyfile": shutil, "save_png": library_import}.get(step, library_record)
    monkeypatch.setattr(owner, step, full_disk)
    with pytest.raises(LibraryError, match="No space left") as caught:
        library.add(picture(tmp_path, "second.png", 1), detect=one_face)
    assert "MASQUE_AVATARS" in caught.value.remedy
    assert sorted(path.name for path in library.folder.iterdir()) == before


def test_a_picture_that_changes_while_it_is_copied(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfile", lambda source, target: Path(target).write_bytes(b"half"))
    with pytest.raises(LibraryError, match="changed while"):
        library.add(picture(tmp_path), detect=one_face)
    assert [entry.name for entry in library.folder.iterdir()] == [LOCK]


def test_an_unfinished_import_is_not_listed_and_an_import_removes_no_other(library: Library, tmp_path: Path) -> None:
    library.folder.mkdir()
    folders = [library.folder / f".incoming-{name}" for name in ("0123abcd", "of-mine")]
    for folder in folders:
        folder.mkdir()
        picture(folder)
        os.utime(folder, (0, 0))
    assert names(library) == [ASTRONAUT, *GALLERY]
    library.add(picture(tmp_path), detect=one_face)
    assert all(folder.is_dir() for folder in folders), "`leftovers` tells ours from others'"


def test_name_collisions(library: Library, tmp_path: Path) -> None:
    library.add(picture(tmp_path, "mona.png", 1), detect=one_face)
    with pytest.raises(LibraryError, match="as mona"):
        library.add(picture(tmp_path, "other.png", 1), detect=one_face)
    assert library.add(picture(tmp_path, "MONA.png", 2), detect=one_face).avatar.name == "MONA 2"
    assert library.add(picture(tmp_path, "mona.jpg.png", 3), detect=one_face, name="x").avatar.name == "x"
    with pytest.raises(LibraryError, match="already"):
        library.add(picture(tmp_path, "y.png", 4), detect=one_face, name="X")
    with pytest.raises(LibraryError, match="already"):
        library.add(picture(tmp_path, "z.png", 5), detect=one_face, name="astronaut")


def test_two_imports_at_once_both_arrive(library: Library, tmp_path: Path) -> None:
    paths = [picture(tmp_path, f"p{shade}.png", shade) for shade in range(6)]
    threads = [threading.Thread(target=library.add, args=(path,), kwargs={"detect": one_face}) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"p{shade}" for shade in range(6)} <= set(names(library))


def test_one_picture_imported_four_times_at_once_is_kept_once(library: Library, tmp_path: Path) -> None:
    file, answers = picture(tmp_path), []
    everybody_looked = threading.Barrier(4)

    def detect(rgb: RgbImage) -> list[Face]:
        everybody_looked.wait(timeout=20)  # the longest part of an import: nobody has stored anything yet
        return [make_face()]

    def add() -> None:
        try:
            answers.append(library.add(file, detect=detect).avatar.name)
        except LibraryError as error:
            answers.append(error.what)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["This picture is there already, as mona."] * 3 + ["mona"]
    assert names(library) == [ASTRONAUT, *GALLERY, "mona"]


ODD_RECORDS: dict[str, str | bytes] = {
    "a number too large for a place": 'picture = "p.png"\n[marks]\nchin = [1, ' + "9" * 400 + "]\n",
    "a number of 5000 digits": 'picture = "p.png"\ncrop = [0, 0, 1, ' + "9" * 5000 + "]\n",
    "lists in lists": 'picture = "p.png"\ncrop = ' + "[" * 5000 + "\n",
    "keys in keys": 'picture = "p.png"\ncrop.' + "a." * 900 + "a = 1\n",
    "no text": b"\xff\xfe\x00",
    "a name too long": 'picture = "' + "n" * 300 + '.png"\n',
    "a name that is none": 'picture = "a\\u0000b.png"\n',
    "longer than any record": 'picture = "p.png"\n' + "# nothing\n" * 200_000,
}


@pytest.mark.parametrize("kind", ODD_RECORDS)
def test_an_odd_record_costs_only_its_own_avatar(library: Library, tmp_path: Path, kind: str) -> None:
    library.add(picture(tmp_path), detect=one_face)
    text = ODD_RECORDS[kind]
    odd = library.folder / "odd"
    odd.mkdir()
    picture(odd, "p.png")
    (odd / "avatar.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    found = {avatar.name: avatar for avatar in library.avatars()}
    assert list(found) == [ASTRONAUT, *GALLERY, "mona", "odd"]
    assert found["odd"].problem and found["odd"].remedy and not found["mona"].problem
    assert library.likeness("mona").face is not None
    with pytest.raises(LibraryError, match="odd cannot be used"):
        library.likeness("odd")
    assert library.remove("odd").name == "odd"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.timeout(30)
def test_a_pipe_in_the_library_is_not_waited_for(library: Library, tmp_path: Path) -> None:
    library.add(picture(tmp_path), detect=one_face)
    for name in ("avatar.toml", "face.safetensors"):
        file = library.folder / "mona" / name
        file.unlink()
        os.mkfifo(file)
    os.mkfifo(library.folder / ORDER_FILE)
    assert library.find("mona").problem == "its avatar.toml is damaged"
    assert library_record.read_face(library.folder / "mona") is None


def test_places_that_no_picture_has_are_no_places(library: Library, tmp_path: Path) -> None:
    avatar = library.add(picture(tmp_path), detect=one_face).avatar
    record = avatar.folder / "avatar.toml"
    record.write_text(record.read_text() + f"crop = [0, 0, {2**62}, {2**62}]\n")
    assert library.find("mona").crop is None
    for landmarks in (np.full((478, 3), 1e30, np.float32), np.zeros((478, 3), bool)):
        marks = {"landmarks": landmarks, "blendshapes": np.zeros(52, np.float32), "presence": np.ones(1, np.float32)}
        (avatar.folder / "face.safetensors").write_bytes(save(marks))
        assert library_record.read_face(avatar.folder) is None


def test_landmarks_are_kept_however_they_lie_in_memory(tmp_path: Path) -> None:
    face = make_face()
    library_record.write_face(tmp_path, replace(face, landmarks=np.asfortranarray(face.landmarks)))
    kept = library_record.read_face(tmp_path)
    assert kept is not None and np.array_equal(kept.landmarks, face.landmarks)


def test_what_was_prepared_of_an_avatar_goes_with_it(library: Library, tmp_path: Path) -> None:
    store = PreparedStore()
    for shade, name in enumerate(("mona", "lisa"), start=1):
        avatar = library.add(picture(tmp_path, f"{name}.png", shade), detect=one_face).avatar
        store.keep(name, Box(1, 2, 3, 4), library.likeness(avatar.name).path)
    paths = {name: library.likeness(name).path for name in ("mona", "lisa")}
    library.remove("Mona")
    assert not store.has("mona", paths["mona"]) and store.has("lisa", paths["lisa"])
    library.rename("lisa", "newer")
    assert list(store.folder.iterdir()) == []


def test_remove_and_restore(library: Library, tmp_path: Path) -> None:
    for shade in (1, 2):
        avatar = library.add(picture(tmp_path, "mona.png", shade), detect=one_face).avatar
        sha256 = avatar.sha256
        library.remove("Mona")
        with pytest.raises(LibraryError, match="no avatar"):
            library.find("mona")
    assert library.restore("mona").sha256 == sha256  # the one removed last
    with pytest.raises(LibraryError, match="already"):
        library.restore("mona")
    library.rename("mona", "newer")
    assert library.restore("mona").name == "mona"
    with pytest.raises(LibraryError, match="was removed"):
        library.restore("mona")
    assert {"mona", "newer"} <= set(names(library))


def test_rename_and_order(library: Library, tmp_path: Path) -> None:
    for shade, name in enumerate(("a", "b", "c")):
        library.add(picture(tmp_path, f"{name}.png", shade), detect=one_face)
    library.reorder(["c", "a"])
    assert names(library)[:2] == ["c", "a"]
    library.rename("c", "Zoë")
    assert names(library)[:2] == ["Zoë", "a"] and library.find("zoe\u0308").image_path.is_file()
    library.rename("Zoë", "ZOË")  # only the letters' size changes
    assert names(library)[0] == "ZOË"
    with pytest.raises(LibraryError, match="already"):
        library.rename("ZOË", "A")
    with pytest.raises(LibraryError, match="no avatar"):
        library.reorder(["nobody"])
    assert names(library)[:2] == ["ZOË", "a"]


def test_what_people_do_to_the_folder(library: Library, tmp_path: Path) -> None:
    for shade, name in enumerate(("gone", "garbled", "noted")):
        library.add(picture(tmp_path, f"{name}.png", shade), detect=one_face)
    (library.folder / "gone" / "picture.png").unlink()
    (library.folder / "garbled" / "avatar.toml").write_bytes(b"\xff\xfe = [[[")
    (library.folder / "noted" / "avatar.toml").write_text('picture = "picture.png"\nsource = 7\nmood = "good"\n')
    (library.folder / "by hand").mkdir()
    picture(library.folder / "by hand", "me.png")
    (library.folder / "empty").mkdir()
    (library.folder / "stray.txt").write_text("hello")
    (library.folder / "order.toml").write_text("order = 3")
    found = {avatar.name: avatar for avatar in library.avatars()}
    assert "picture is missing" in found["gone"].problem and "damaged" in found["garbled"].problem
    assert found["empty"].problem and "stray.txt" not in found
    for name in ("noted", "by hand"):
        assert not found[name].problem and library.resolve(name).is_file()
    assert found["noted"].source == ""
    with pytest.raises(LibraryError, match="cannot be used") as caught:
        library.resolve("gone")
    assert caught.value.remedy
    library.remove("garbled")
    assert "garbled" not in names(library)


def test_a_record_cannot_lead_out_of_its_folder(library: Library, tmp_path: Path) -> None:
    secret = picture(tmp_path, "secret.png")
    avatar = library.add(picture(tmp_path), detect=one_face).avatar
    for path in (f"../../{secret.name}", str(secret), "..", ""):
        (avatar.folder / "avatar.toml").write_text(f"picture = '{path}'\n")
        assert library.find("mona").problem


def test_resolve_takes_a_file_first_and_explains_what_is_missing(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(picture(tmp_path), detect=one_face)
    monkeypatch.chdir(tmp_path)
    assert library.resolve("mona.png") == Path("mona.png")
    assert library.resolve("mona") == library.folder / "mona" / "picture.png"
    with pytest.raises(LibraryError, match=r"Did you mean mona\?"):
        library.resolve("moma")
    with pytest.raises(LibraryError, match="is a folder"):
        library.resolve(tmp_path)
    for missing in ("nothing.jpg", str(tmp_path / "nothing")):
        with pytest.raises(LibraryError, match="no picture"):
            library.resolve(missing)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    library = Library(tmp_path / "file" / "avatars")
    assert [avatar.name for avatar in library.avatars() if not avatar.builtin] == []
    with pytest.raises(LibraryError, match="cannot be written"):
        library.add(picture(tmp_path), detect=one_face)


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASQUE_AVATARS", str(tmp_path))
    assert library_folder() == tmp_path == Library().folder
    monkeypatch.delenv("MASQUE_AVATARS")
    assert library_folder().name == "avatars"


@pytest.mark.parametrize("name", [
    "", "  ", ".", "..", ".hidden", "a/b", "a\\b", "..\\x", "C:", "con", "NUL.txt", "Lpt1", "x" * 81, "tab\there",
    "line\nbreak", "a\u202egnp.exe", "zero\u200bwidth", "end.", "what?", "ü" * 79 + "<", "\ud800",
])  # fmt: skip
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(LibraryError) as caught:
        check_name(name)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["Mona Lisa", "Zoë", "蒙娜麗莎", "👩‍🚀", "console", "a-b_c (2)", "São João", "मोना"])
def test_names_that_are_kept(name: str) -> None:
    assert check_name(f" {name} ") == name


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_any_file_name_gives_a_usable_name(text: str) -> None:
    assert check_name(as_name(text)) == as_name(text)


def test_accents_and_case_do_not_make_two_names() -> None:
    assert same_name("ZOE\u0308") == same_name("zoë") and same_name("Straße") == same_name("STRASSE")


@pytest.mark.parametrize("place", [0.0, 250.0])
def test_marks_that_all_lie_in_one_place_are_no_face(tmp_path: Path, place: float) -> None:
    """A file of zeros has the right form; a head without a size failed wherever it was drawn."""
    marks = {"landmarks": np.full((478, 3), place, np.float32), "blendshapes": np.zeros(52, np.float32)}
    (tmp_path / library_record.FACE_FILE).write_bytes(save(marks | {"presence": np.ones(1, np.float32)}))
    assert library_record.read_face(tmp_path) is None


def test_without_scikit_image_another_built_in_avatar_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "_astronaut", list)
    assert Library(tmp_path).find(ASTRONAUT.lower()).name == next(iter(GALLERY))
