# shellcheck shell=bash disable=SC2034,SC2154 # read by ../run.sh, which sets the rest
# What ../run.sh shows of this example.
programs=()
packages=()
model_is="maps floods, in plain Python; it makes its satellite scenes first"
server=(python3 examples/flood/server.py --listen 127.0.0.1:0 --data "$work/data")
job_is="a box on the map and a time"
input=examples/flood/request.json
input_type=application/json
query=''
result_is="The map layers; the first one was handed over early (Inf:Task:LayerReady above)"

show_result() {
    local uri
    python3 examples/flood/show.py layers "$1" || return
    uri=$(python3 examples/flood/show.py uri "$1") || return
    show "curl $uri"
    curl -fsS -m 30 "$uri" >"$work/flooded.geojson" || return
    python3 examples/flood/show.py map "$work/flooded.geojson"
}

go_on() {
    cat <<END
    python3 examples/flood/server.py &
    $binary serve --config examples/flood/inferq.toml &
    $binary submit flood - --watch <$input
    curl --data-binary @$input -H 'Content-Type: application/json' '$at/v1/inference'
The layers' addresses open in a browser or a GIS; the files lie in /var/tmp/inferq-flood/layers.
END
}
