# A help text as a manual page: the first line is "NAME - what it does", "Usage:"
# becomes the synopsis, other lines at the margin that end in a colon headings;
# the texts keep their lines.  Variables: page, pages (all), version, date.
function put(line)
{
	gsub(/\\/, "\\e", line)
	gsub(/-/, "\\-", line)
	if (line ~ /^[.']/)
		line = "\\&" line
	print line
}

function section(name)
{
	printf ".fi\n.SH \"%s\"\n.nf\n", toupper(name)
	place = name
}

NR == 1 {
	printf ".TH \"%s\" 1 \"%s\" \"pg_sovereign %s\" \"pg_sovereign\"\n.SH NAME\n", toupper(page), date, version
	put(page substr($0, index($0, " - ")))
	next
}
/^[A-Z][A-Za-z ]*:$/ {
	section($0 == "Usage:" ? "Synopsis" : substr($0, 1, length - 1))
	next
}
/^$/ {
	if (place == "Synopsis")
		place = ""
	else if (place != "")
		print
	next
}
{
	if (place == "")
		section("Description")
	if (place == "Synopsis")
		sub(/^ +/, "")
	put($0)
}
END {
	printf ".fi\n.SH \"SEE ALSO\"\n.ad l\n"
	n = split(pages, name, " ")
	for (i = 1; i <= n; i++)
		if (name[i] != page)
		{
			gsub(/-/, "\\-", name[i])
			printf ".BR %s (1)\n", name[i]
		}
}
