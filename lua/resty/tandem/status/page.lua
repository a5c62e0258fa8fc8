--- The status page, put together.

local script = require "resty.tandem.status.script"
local style = require "resty.tandem.status.style"

local HTML = [==[
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>tandem</title>
<link rel="icon" href="data:,">
<style nonce="$nonce">
$style</style>
</head>
<body>
<a class="skip" href="#caches">Skip to the caches</a>
<header>
<h1>tandem <span id="host"></span></h1>
<p class="link"><span id="dot" class="dot" aria-hidden="true"></span>
<span id="status" role="status">connecting</span>
<button id="pause" type="button" aria-pressed="false">Pause</button></p>
<nav id="nav" aria-label="Caches" hidden></nav>
</header>
<main id="caches" tabindex="-1">
<noscript><p>This page draws with JavaScript.  The numbers are at
<a href="?format=json">?format=json</a>.</p></noscript>
</main>
<footer>
<p>Counters are over all workers of this host.  History begins when this page is opened and stays in
this browser, five minutes of it; a step is the average between two answers.
<a href="?format=json">The numbers as JSON</a></p>
</footer>
<script nonce="$nonce">
$script</script>
</body>
</html>
]==]

--- @param nonce what its script and style are allowed by
-- @return the page
return function(nonce)
    local parts = { nonce = nonce, style = style, script = script }
    return (HTML:gsub("%$(%a+)", parts))
end
