"""`make pictures`: draws the pictures of the documentation again, into `docs/pictures`.

python -m handbook.pictures [NAME …]
"""

import sys

from handbook.pictures.registry import FOLDER, PICTURES

if __name__ == "__main__":
    chosen = sys.argv[1:]
    unknown = set(chosen) - {picture.name for picture in PICTURES}
    if unknown:
        sys.exit(f"no such picture: {', '.join(sorted(unknown))}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        if not chosen or picture.name in chosen:
            (FOLDER / f"{picture.name}.svg").write_bytes(picture.svg())
