// A page that is opened from a folder may not read others: search shows their titles alone there.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
