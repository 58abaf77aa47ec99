"""Sidecars, tables and names as they come from the field: each with the code and words it must get."""

from __future__ import annotations

import os
import shutil

from tests.cluster.broken import Case, Place, Spoil, content, gone, says, text


def dsc(spoil: Spoil, code: str, *words: str, file: str = "dsc.json") -> Case:
    return Case("dsc", spoil, code, file, words)


def asl(spoil: Spoil, code: str, *words: str, file: str = "asl.json") -> Case:
    return Case("asl", spoil, code, file, words)


def table(spoil: Spoil, code: str, *words: str) -> Case:
    return Case("asl", spoil, code, "aslcontext.tsv", words)


TSV = "aslcontext.tsv"

FIELDS = {
    "nosidecar": dsc(gone("dsc.json"), "E_META", "no EchoTime", "no other metadata", file="dsc.nii.gz"),
    "noecho": dsc(says(EchoTime=None), "E_META", "no EchoTime"),
    "notr": dsc(says(RepetitionTime=None), "E_META", "no RepetitionTime"),
    "stringtr": dsc(says(RepetitionTime="1.5"), "E_META", 'RepetitionTime = "1.5"', "without quotation marks"),
    "zeroecho": dsc(says(EchoTime=0), "E_META", "EchoTime = 0"),
    "negativetr": dsc(says(RepetitionTime=-1.5), "E_META", "RepetitionTime = -1.5"),
    "msecho": dsc(says(EchoTime=30), "E_META", "milliseconds", "write 0.03"),
    "mstr": dsc(says(RepetitionTime=1500), "E_META", "milliseconds", "write 1.5"),
    "listecho": dsc(says(EchoTime=[0.03]), "E_META", "EchoTime = [0.03]"),
    "nanecho": dsc(text(lambda t: t.replace("0.03", "NaN")), "E_META", "NaN"),
    "trapart": dsc(says(RepetitionTime=2.0), "E_META", "2 s", "1.5 s"),
    "casekey": dsc(text(lambda t: t.replace("EchoTime", "echotime")), "E_META", "no EchoTime", "echotime"),
    "spacekey": dsc(text(lambda t: t.replace("EchoTime", "Echo Time")), "E_META", "no EchoTime", "Echo Time"),
    "nopld": asl(says(PostLabelingDelay=None), "E_META", "no PostLabelingDelay"),
    "oldpld": asl(
        says(PostLabelingDelay=None, InitialPostLabelDelay=1.8), "E_META", "no PostLabelingDelay", "InitialPostLabelDelay"
    ),
    "mspld": asl(says(PostLabelingDelay=1800), "E_META", "milliseconds", "write 1.8"),
    "zeropld": asl(says(PostLabelingDelay=0), "E_META", "PostLabelingDelay = 0"),
    "stringpld": asl(says(PostLabelingDelay="1.8"), "E_META", 'PostLabelingDelay = "1.8"', "without quotation marks"),
    "shortpld": asl(says(PostLabelingDelay=[1.8, 2.0]), "E_META", "2 are given"),
    "msduration": asl(says(LabelingDuration=1800), "E_META", "write 1.8"),
    "nom0type": asl(says(M0Type=None), "E_META", "no M0Type"),
    "m0string": asl(says(M0Type="separate"), "E_META", "Separate"),
    "labelingcase": asl(says(ArterialSpinLabelingType="pCASL"), "E_META", "PCASL"),
    "suppressionword": asl(says(BackgroundSuppression="false"), "E_META", "true or false"),
    "m0tr": asl(says("m0scan.json", RepetitionTimePreparation=None), "E_META", "no RepetitionTimePreparation", file="m0scan.json"),
}  # fmt: skip

SYNTAX = {
    "jsoncomma": dsc(text(lambda t: t.replace("\n}", ",\n}")), "E_META", "line", "Remove the comma"),
    "jsoncomment": dsc(text(lambda t: "// from the scanner\n" + t), "E_META", "line 1", "comment"),
    "jsonquotes": dsc(text(lambda t: t.replace('"', "'")), "E_META", "line 2", "double quotation marks"),
    "jsondecimal": dsc(text(lambda t: t.replace("0.03", "0,03")), "E_META", "line", "with a point"),
    "jsonhalf": dsc(text(lambda t: t[:-20]), "E_META", "line", "cut short"),
    "jsonlist": dsc(text(lambda t: f"[{t}]"), "E_META", "JSON list", "braces"),
    "jsontwice": dsc(text(lambda t: t.replace("{", '{"EchoTime": 0.04,', 1)), "E_META", "given twice"),
    "jsonempty": dsc(text(lambda t: ""), "E_CORRUPT", "0 bytes"),
    "jsonsixteen": dsc(text(lambda t: t, encoding="utf-16"), "E_CORRUPT", "UTF-8"),
    "jsonlatin": dsc(
        text(lambda t: t.replace("phantom", "K\u00f6ln"), encoding="latin-1"), "E_CORRUPT", "0xf6", "UTF-8"
    ),
    "jsonimage": dsc(content(lambda raw: b"\x1f\x8b" + raw, "dsc.json"), "E_CORRUPT", "UTF-8"),
    "nocontext": asl(gone(TSV), "E_META", "no *_aslcontext.tsv", file="asl.nii.gz"),
    "contextcase": table(text(str.upper, TSV), "E_META", "volume_type"),
    "contextword": table(text(lambda t: t.replace("control", "Control", 1), TSV), "E_META", "'Control' in row 1", "Did you mean control"),
    "contextrows": table(text(lambda t: t.replace("label\n", "", 1), TSV), "E_SHAPE", "rows for"),
    "contextcsv": table(text(lambda t: t.replace("\n", ",x\n"), TSV), "E_META", "by tabs"),
    "contextcontrol": table(text(lambda t: t.replace("label", "control"), TSV), "E_META", "control only"),
}  # fmt: skip

WELL = {
    "jsonbom": Case("dsc", text(lambda t: t, encoding="utf-8-sig"), "", ""),
    "jsoncrlf": Case("dsc", text(lambda t: t.replace("\n", "\r\n")), "", ""),
    "jsonmore": Case("dsc", says(Unknown={"NaN": [None, "\t"]}, RepetitionTimes="x"), "", ""),
    "tsvcrlf": Case("asl", text(lambda t: t.replace("\n", "\r\n"), TSV), "", ""),
    "tsvbom": Case("asl", text(lambda t: t, TSV, "utf-8-sig"), "", ""),
    "tsvnoend": Case("asl", text(str.rstrip, TSV), "", ""),
    "tsvmore": Case("asl", text(lambda t: t.replace("\n", "\tn/a\n"), TSV), "", ""),
}  # fmt: skip
"""Text that is well, however unusual: the maps must be those of the plain one."""


def renamed(name: str) -> Spoil:
    """The image under another name, in its folder."""
    return lambda at: at.image.rename(at.perf / name.replace("NAME", at.name))


def doubled(at: Place) -> None:
    shutil.copy(at.image, at.file("dsc.nii"))


def own_folder(name: str) -> Spoil:
    """The whole subject under another name."""

    def spoil(at: Place) -> None:
        for path in at.perf.iterdir():
            path.rename(path.with_name(path.name.replace(at.name, name)))
        at.perf.parent.rename(at.perf.parent.with_name(f"sub-{name}"))

    return spoil


def odd(name: str, *words: str, code: str = "E_PATH") -> Case:
    return Case("dsc", renamed(name), code, ".nii.gz", words)


NAMES = {
    "both": Case("dsc", doubled, "E_AMBIGUOUS", "", ("and sub-both_dsc.nii.gz", "one file")),
    "newline": odd("sub-NAME_acq-a\nb_dsc.nii.gz", r"a\nb"),
    "tab": odd("sub-NAME_acq-a\tb_dsc.nii.gz", r"a\tb"),
    "command": odd("sub-NAME_acq-$(touch x);rm_dsc.nii.gz", "$(touch x);rm"),
    "quotes": odd("sub-NAME_acq-\"'`_dsc.nii.gz", "letters and digits"),
    "escape": odd("sub-NAME_acq-\x1b[31m_dsc.nii.gz", r"\x1b"),
    "markup": odd("sub-NAME_acq-[red]_dsc.nii.gz", "[red]"),
    "umlaut": odd("sub-NAME_acq-\u00fcber_dsc.nii.gz", "\u00fcber"),
    "backwards": odd("sub-NAME_acq-\u202egz_dsc.nii.gz", "letters and digits"),
    "notunicode": odd(os.fsdecode(b"sub-NAME_acq-\xff_dsc.nii.gz"), r"\udcff"),
    "dots": odd("sub-NAME_acq-.._dsc.nii.gz", ".."),
    "othersubject": odd("sub-02_dsc.nii.gz", "in sub-othersubject"),
    "uppercase": odd("sub-NAME_DSC.nii.gz", "_dsc"),
    "shouted": Case("dsc", renamed("sub-NAME_dsc.NII.GZ"), "E_PATH", ".NII.GZ", ("_dsc.nii.gz",)),
    "long": odd(f"sub-NAME_acq-{'a' * 200}_dsc.nii.gz", "characters"),
    "parent": Case("dsc", own_folder(".."), "E_PATH", ".nii.gz", ("sub-..",)),
    "person": Case("dsc", own_folder("M\u00fcller, J\u00fcrgen; 1954"), "E_PATH", ".nii.gz", ("letters and digits",)),
    "phase": odd("sub-NAME_part-phase_dsc.nii.gz", "magnitude", code="E_META"),
}  # fmt: skip


def manifest_of_strangers(image: str) -> str:
    """Rows whose labels try to leave the output folder, or to break the table."""
    rows = ["subject\tsession\tmodality\tpath"]
    labels = ("../../x", "/etc/x", "a;b", "..", "\u00fc", "a" * 300)
    rows += [f"{label}\t\tdsc\t{image}" for label in labels]
    return "\n".join([*rows, f"fine\t../../x\tdsc\t{image}", f"good\t1\tdsc\t{image}"]) + "\n"
