// No "open in …" buttons: each of upstream's would hand a link's address to a third party.
export default {};
