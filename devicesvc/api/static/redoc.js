// Starts Redoc in the one element of its page. The code in the document calls the service at this page's address.
fetch("/openapi.json")
  .then((answer) => answer.text())
  .then((text) => {
    const api = JSON.parse(text.replaceAll("http://localhost:8000", location.origin));
    const options = { downloadDefinitionUrl: "/openapi.json", scrollYOffset: "nav" };
    Redoc.init(api, options, document.getElementById("redoc"));
  });
