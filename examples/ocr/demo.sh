# shellcheck shell=bash disable=SC2034,SC2154 # read by ../run.sh, which sets the rest
# What ../run.sh shows of this example.
programs=(tesseract)
packages=(tesseract-ocr)
model_is="tesseract behind a few lines of Python"
server=(python3 examples/ocr/server.py --listen 127.0.0.1:0)
job_is="a scanned page"
input=examples/ocr/page.png
input_type=image/png
query='?model=ocr'
result_is="The recognised text"

show_result() {
    field text <"$1" | sed 's/^/    /' || return
    python3 - "$1" <<'END'
import json, sys
answer = json.load(open(sys.argv[1]))
layers = answer["predicted_layers"]
sure = sum(layer["confidence"] for layer in layers) / max(len(layers), 1)
print(f"\n    {len(layers)} lines with their boxes, read in {answer['seconds']:.1f} s, with a confidence of {sure:.0%}")
END
}

go_on() {
    cat <<END
    python3 examples/ocr/server.py &
    $binary serve --config examples/ocr/inferq.toml &
    $binary submit ocr $input --type image/png --watch
    curl --data-binary @$input -H 'Content-Type: image/png' '$at/v1/inference?model=ocr'
END
}
