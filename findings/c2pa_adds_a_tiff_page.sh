#!/usr/bin/env bash
# A TIFF of several pages that is signed with Content Credentials (C2PA) has one page more afterwards: a directory that holds
# the manifest and no image. Programs count it as a page: Pillow cannot even say how many pages there are and raises
# TypeError where others expect EOFError, OpenCV counts one more than it decodes, tifffile lists it with the shape (0, 0).
# A TIFF of one page keeps one page: there the manifest becomes a field of the page's own directory.
# Why it matters: signing is meant to leave an image as it was, the reader calls the signed file valid, and a test with one page
# shows nothing; a loop over the pages of a signed scan or stack ends in an exception.
# Seen with c2pa-python 0.38.1 (its own directory for the manifest follows the C2PA specification since 1.4), Pillow 13.0.0,
# opencv-python-headless 4.14.0 and tifffile 2026.3.3. TIFF 6.0 says of each directory in the chain that it describes an image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check c2pa-python==0.38.1 pillow==13.0.0 \
  opencv-python-headless==4.14.0.94 tifffile==2026.3.3 cryptography==50.0.2 numpy==2.4.6
cd "$folder"
cat >pages.py <<'PYTHON'
import datetime
import json

import c2pa
import cv2
import numpy as np
import tifffile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

PEM = serialization.Encoding.PEM


def certificate(subject, issuer, key, signing_key, extensions):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + 9 * day)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signing_key, hashes.SHA256()).public_bytes(PEM)


def usage(signs_certificates):
    return x509.KeyUsage(not signs_certificates, False, False, False, False, signs_certificates, signs_certificates, False, False)


root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
chain = certificate("Own", "Root", own, root, [
    (x509.BasicConstraints(False, None), True), (usage(False), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
    (x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False)])
chain += certificate("Root", "Root", root, root, [(x509.BasicConstraints(True, 0), True), (usage(True), True)])
key = own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def signed(path):
    information = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, key, None)
    action = {"action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalArt"}
    manifest = {"claim_generator_info": [{"name": "example", "version": "1"}],
                "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}]}
    with c2pa.Signer.from_info(information) as signer, c2pa.Builder(manifest) as builder:
        builder.sign_file(path, "signed-" + path, signer)
    with c2pa.Reader("signed-" + path) as reader:
        print(path, "signed:", json.loads(reader.json())["validation_state"])
    return "signed-" + path


def pillow_pages(path):
    with Image.open(path) as image:
        try:
            return image.n_frames
        except TypeError as error:
            return f"TypeError: {error}"


def pages(path):
    with tifffile.TiffFile(path) as file:
        shapes = [page.shape for page in file.pages]
    return pillow_pages(path), (cv2.imcount(path), len(cv2.imreadmulti(path)[1])), shapes


images = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (10, 120, 240)]
images[0].save("one.tif")
images[0].save("three.tif", save_all=True, append_images=images[1:])
seen = {path: pages(path) for path in ("one.tif", signed("one.tif"), "three.tif", signed("three.tif"))}
for path, (pillow, opencv, shapes) in seen.items():
    print(f"{path}: Pillow {pillow}; OpenCV counts {opencv[0]}, decodes {opencv[1]}; tifffile {shapes}")
shape = (48, 64, 3)
assert seen["one.tif"] == seen["signed-one.tif"] == (1, (1, 1), [shape])
assert seen["three.tif"] == (3, (3, 3), [shape] * 3)
assert seen["signed-three.tif"] == ("TypeError: Missing dimensions", (4, 3), [shape] * 3 + [(0, 0)])
PYTHON
echo "Most expect: as many pages after signing as before."
OPENCV_LOG_LEVEL=OFF venv/bin/python pages.py 2>/dev/null
echo "Seen: three pages become four, the last without an image"
