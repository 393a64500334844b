"""Image references: normalisation and the runtimes' own refusals."""

import pytest

from kogia.cri.reference import InvalidReference, parse

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest"),
        ("quay.io/x/y:z", "quay.io/x/y:z", "quay.io/x/y:z"),
        ("localhost/kogia-demo", "localhost/kogia-demo:latest", "localhost/kogia-demo:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest"),
        ("127.0.0.1:5000/a/b/c:T.1-2_x", "127.0.0.1:5000/a/b/c:T.1-2_x", "127.0.0.1:5000/a/b/c:T.1-2_x"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        (f"nginx@{D}", f"docker.io/library/nginx@{D}", f"nginx@{D}"),
        (f"nginx:1@{D}", f"docker.io/library/nginx:1@{D}", f"nginx:1@{D}"),
        ("Uppercase/x", "Uppercase/x:latest", "Uppercase/x:latest"),
        ("a__b/c---d", "docker.io/a__b/c---d:latest", "a__b/c---d:latest"),
    ],
)
def test_normalised(text, full, familiar):
    parsed = parse(text).with_default_tag()
    assert (str(parsed), parsed.familiar) == (full, familiar)
    assert str(parse(full).with_default_tag()) == full


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("x/Upper", "invalid reference format: repository name (x/Upper) must be lowercase"),
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("a b", "invalid reference format"),
        ("nginx:", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("nginx:ta g", "invalid reference format"),
        ("nginx:" + "t" * 129, "invalid reference format"),
        ("-x", "invalid reference format"),
        ("x//y", "invalid reference format"),
        ("https://quay.io/x", "invalid reference format"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("nginx@sha256:abc", "invalid reference format"),
        ("nginx@sha256:" + "a" * 63, "invalid checksum digest length"),
        ("nginx@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("nginx@sha256:" + "A" * 64, "invalid checksum digest format"),
        ("x.y/" + "a" * 253, "repository name must not be more than 255 characters"),
    ],
)
def test_refused(text, message):
    with pytest.raises(InvalidReference) as caught:
        parse(text)
    assert str(caught.value) == message
