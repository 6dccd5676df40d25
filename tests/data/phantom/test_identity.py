import pydicom

from medssl.data.phantom.identity import person


def test_words_fit_the_shortest_text_and_nobody_shares_one():
    words = [word for subject in range(200) for word in person(11, subject).words]
    assert max(map(len, words)) <= 16
    assert len(set(words)) == len(words)
    assert all(word.startswith("PLANTED") for word in words)


def test_the_age_is_the_one_at_the_study_and_one_subject_is_above_89():
    people = [person(11, subject) for subject in range(30)]
    for someone in people:
        years = int(someone.study_date[:4]) - int(someone.birth_date[:4])
        assert years == someone.age_years
        assert someone.birth_date[4:] < someone.study_date[4:]
    assert sum(someone.age_years > 89 for someone in people) == 1
    assert {someone.sex for someone in people} == {"F", "M"}
    assert len({someone.scanner for someone in people}) == 3


def test_every_word_is_in_the_archive(archive):
    words = (archive.folder / "private/planted.txt").read_text().split()
    assert len(words) == (24 + 1) * 8
    content = b"\n".join(
        p.read_bytes()
        for p in archive.root.parent.rglob("*")
        if p.is_file() and p.name != "planted.txt"
    )
    assert [word for word in words if word.encode() not in content] == []


def test_words_stand_in_tags_nested_and_private_ones_and_in_names(archive):
    words = (archive.folder / "private/planted.txt").read_text().split()
    named_files = 0
    for truth in archive.of("original"):
        path = archive.files(truth)[0]
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        places = [
            str(dataset.PatientName),
            dataset.RequestAttributesSequence[0].RequestedProcedureDescription,
            str(dataset.private_block(0x11, "MEDSSL PHANTOM")[0x01].value),
            dataset.ProtocolName,
            str(archive.root.joinpath(path).parent),
        ]
        assert all(any(word in place for word in words) for place in places)
        named_files += any(word in path.rsplit("/", 1)[1] for word in words)
    assert 0 < named_files < 30


def test_the_truth_names_nobody(archive):
    assert b"PLANTED" not in (archive.folder / "truth.parquet").read_bytes()
